"""One variant of a sweep: the rules of the stages that it does not share. A shared stage's pathvar names another folder.

REQUIRED: the records. PROVIDES: what the rules of the plain build provide, in the folders of the variant.
"""


include: "common.smk"


for stage, file in [
    ("float_model", "train.smk"),
    ("quant_model", "quantize.smk"),
    ("quant_ft_model", "finetune.smk"),
]:
    if workflow.pathvars.apply(f"<{stage}>") == f"{BUILD}/{stage}":

        include: file


include: "compile.smk"
include: "export.smk"
include: "package.smk"
