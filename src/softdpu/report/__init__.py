"""What the report shows: charts as SVG and tables as HTML, made from what the build leaves behind.

Snakemake's own reporter puts them into one file; rules/report.smk says which, under which heading, with which caption.
"""
