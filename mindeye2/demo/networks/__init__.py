"""Training of the tiny frozen networks on the drawn world: ``python -m mindeye2.demo.networks --out DIR``."""
