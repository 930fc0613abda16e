"""Records become a float model.

REQUIRED: the records. PROVIDES: <float_model>/float_model.h5, and beside it metrics.json, predictions.csv (the
class of every validation image) and history.csv (the numbers of every epoch);
TensorBoard's logs in <logs>/tensorboard/float.
"""


rule train:
    input:
        train=records("train"),
        val=records("val"),
        labels="<records>/tfrec_train/labels.txt",
        weights=weights_file(),
        script="scripts/train.py",
        code=code("scripts/train.py"),
    output:
        model="<float_model>/float_model.h5",
        metrics="<float_model>/metrics.json",
        predictions="<float_model>/predictions.csv",
        history="<float_model>/history.csv",
    log:
        "<logs>/train.log",
    benchmark:
        "<logs>/benchmarks/train.tsv"
    conda:
        ENV
    threads: config["train"]["threads"]
    resources:
        mem_mb=3500,
        runtime=60,
    params:
        model=config["model"],
        recipe=options(config["train"]),
        start=options(
            {
                key: config["model"][key]
                for key in ("dropout", "weights", "freeze_base", "bn_momentum")
            }
        ),
        fit=DATASET["fit"],
        tensorboard=f"{LOGS}/tensorboard/float",
    message:
        "train MobileNet {params.model[alpha]} at {params.model[input_size]}x{params.model[input_size]}"
    shell:
        "python {input.script} --train-records $(dirname {input.train}) --val-records $(dirname {input.val}) --fit {params.fit}"
        " --classes $(wc -l <{input.labels}) --size {params.model[input_size]} --alpha {params.model[alpha]}"
        " {params.start} {params.recipe} --tensorboard {params.tensorboard} --output {output.model}"
        " 2>&1 | tee {log:q}"
