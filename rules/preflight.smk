"""What a build with AMD's tools needs of the machine, told in one table.

REQUIRED: the config. PROVIDES: the name preflight. A build looks at the same before its first job (check_machine).
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
        settings=shlex.quote(
            json.dumps({key: config[key] for key in preflight.SETTINGS})
        ),
        apptainer="--apptainer" if APPTAINER else "",
        build=BUILD,
    message:
        "what the build needs of this machine"
    shell:
        "python {input.script} --settings {params.settings} {params.apptainer} --build {params.build} 2>&1 | tee {log:q}"
