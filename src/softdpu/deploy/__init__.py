"""The way from the card folder to a real board: over the network with ssh, or on to a mounted SD card.

content: what goes there, and what may not. connection: one ssh session. query: what the board says about itself.
copying: only what changed, resumable. arm: softdpu's runtime for a board's CPU. results: board against PC, and
AMD's published throughput. sdcard: the card. commands: what the scripts call, in this order.
"""
