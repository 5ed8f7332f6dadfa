"""Swap: which layers carry what fine-tuning gained."""
