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
        gpu=gpus("unclip"),
        cpus_per_task=4,
        mem_mb=amount("unclip", 96000, miniature=3000),
        runtime=amount("unclip", 2880, miniature=120),
    params:
        spec=".plan/unclip/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 unclip --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
