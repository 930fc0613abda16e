"""What a build with AMD's tools needs of the machine, listed in one table.

REQUIRED: the config, and APPTAINER of checks.smk. PROVIDES: the name preflight.
"""

import json


rule preflight:
    input:
        script="scripts/preflight.py",
        code=code("scripts/preflight.py"),
    log:
        "<logs>/preflight.log",
    localrule: True
    conda:
        ENV
    params:
        settings=lambda wildcards: json.dumps(
            {key: config[key] for key in preflight.SETTINGS}
        ),
        apptainer=options({"apptainer": APPTAINER}),
        build=BUILD,
    message:
        "what the build needs of this machine"
    shell:
        "python {input.script:q}"
        " --settings {params.settings:q}"
        " {params.apptainer:q}"
        " --build {params.build:q}"
        " 2>&1 | tee {log:q}"
