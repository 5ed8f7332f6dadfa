"""Look inside encoders: what is in their layers and neurons, and what fine-tuning changed.

`python probe.py probe=linear models='{base: minilm, tuned: outputs/demo/model}' dataset=python_docs`;
`python probe.py --help` lists every probe and setting.
"""

from omegaconf import DictConfig

from pipeline.entry import entry_point


@entry_point("probe")
def main(config: DictConfig) -> None:
    """Probe, write the findings and print them."""
    from pipeline.probing.command import run_probe  # late: help and composition must not wait for torch

    run_probe(config)


if __name__ == "__main__":
    main()
