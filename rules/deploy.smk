"""A card folder goes to a real board, over ssh or on a mounted SD card, and runs there.

REQUIRED: the rules of package.smk, and the config's board or sdcard. PROVIDES: the names deploy_*, board_run_* and
sdcard_*; board_run_* leaves <build>/board_run_{target}.json. Snakemake cannot see what a board holds, so these rules
name no output: one that is asked for always runs, and the script copies what differs.
"""


def require_board(wildcards):
    """Ask for the config's board when a rule needs it and it is not there."""
    hint = "board is not set: add --config board=root@192.168.1.10"
    return require(config["board"], hint)


def card_options(name):
    """Return the options that all scripts here share."""
    shared = {"folder": f"{BUILD}/target_{name}", "target": name}
    return options({**shared, "allow_softdpu": config["allow_softdpu"]})


BOARD = options(
    {
        "board": config["board"],
        "board_folder": config["deploy"]["folder"],
        "port": config["deploy"]["port"],
        "ssh_options": config["deploy"]["ssh_options"],
    }
)
BOARD_RUN = options(
    {
        "alpha": None if config["model"]["file"] else config["model"]["alpha"],
        "input_size": config["model"]["input_size"],
        "threads": config["deploy"]["threads"],
        "sweep": config["deploy"]["sweep"],
        "no_check": not config["deploy"]["check"],
    }
)


for name in boards.list_targets():

    rule:
        name:
            f"deploy_{name}"
        input:
            require_board,
            card=collect(rules.package.output, target=name),
            script="scripts/deploy.py",
        log:
            f"<logs>/deploy_{name}.log",
        localrule: True
        conda:
            ENV
        params:
            card=card_options(name),
            board=BOARD,
        message:
            f"target_{name} to the board"
        shell:
            "python {input.script:q}"
            " {params.card:q}"
            " {params.board:q}"
            " 2>&1 | tee {log:q}"

    rule:
        name:
            f"board_run_{name}"
        input:
            require_board,
            card=collect(rules.package.output, target=name),
            pc=f"<build>/run_{name}.json",
            script="scripts/board_run.py",
        log:
            f"<logs>/board_run_{name}.log",
        localrule: True
        conda:
            ENV
        params:
            card=card_options(name),
            board=BOARD,
            run=BOARD_RUN,
            output=f"{BUILD}/board_run_{name}.json",
        message:
            f"run target_{name} on the board"
        shell:
            "python {input.script:q}"
            " {params.card:q}"
            " {params.board:q}"
            " {params.run:q}"
            " --pc {input.pc:q}"
            " --output {params.output:q}"
            " 2>&1 | tee {log:q}"

    rule:
        name:
            f"sdcard_{name}"
        input:
            lambda wildcards: require(
                config["sdcard"],
                "sdcard is not set: add --config sdcard=<where the card is mounted>",
            ),
            card=collect(rules.package.output, target=name),
            script="scripts/sdcard.py",
        log:
            f"<logs>/sdcard_{name}.log",
        localrule: True
        conda:
            ENV
        params:
            card=card_options(name),
            sdcard=options({"card": config["sdcard"]}),
        message:
            f"target_{name} to the SD card"
        shell:
            "python {input.script:q}"
            " {params.card:q}"
            " {params.sdcard:q}"
            " 2>&1 | tee {log:q}"
