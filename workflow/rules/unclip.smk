# Pictures that nobody is tested on, their tokens and latents -> an unCLIP network; only where a configuration asks.
rule unclip:
    input:
        upstream("unclip"),
    output:
        ".stamps/unclip/{key}",
    log:
        "logs/unclip/{key}.log",
    benchmark:
        "benchmarks/unclip/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=96000,
        runtime=10080,
    params:
        spec=".plan/unclip/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 unclip --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
