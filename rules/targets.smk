"""Names for the command line: target_*, run_*, predict_* and check_* for every board, and what is printed when a build ends.

REQUIRED: the rules of package.smk. PROVIDES: no files.
"""

import time

from softdpu.build.stop import require_target

STARTED = time.time()


onsuccess:
    for path in [*sorted(Path(LOGS).glob("ladder_*.log")), Path(LOGS, "sweep.log")]:
        if path.exists() and path.stat().st_mtime >= STARTED:
            print(f"\n{path.read_text(encoding='utf-8')}")


for name in boards.list_targets():

    rule:
        name:
            f"target_{name}"
        input:
            card=collect(rules.package.output, target=name),
            ladder=f"<build>/ladder_{name}.json",
            inspect=f"<build>/inspect_{name}.json",
            predict=f"<build>/predict_{name}.json",
        localrule: True
        message:
            f"target_{name} is whole"

    for kind in ("run", "predict", "check"):

        rule:
            name:
                f"{kind}_{name}"
            input:
                f"<build>/{kind}_{name}.json",
            localrule: True


rule export:
    input:
        collect("<build>/export/mobilenet.{form}", form=SUFFIX_OF.values()),
    localrule: True
    message:
        "the network stands in build/export, for other devices"


rule unknown_target:
    input:
        lambda wildcards: require_target(wildcards.name),
    output:
        "{kind}_{name}",
    log:
        "<logs>/unknown_{kind}_{name}.log",
    wildcard_constraints:
        kind="target|run|predict|check|deploy|board_run|sdcard",
        name=r"[^/]+",
    localrule: True
    conda:
        ENV
    shell:
        "false 2> {log:q}"
