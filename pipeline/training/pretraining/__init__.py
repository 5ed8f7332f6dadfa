"""Pre-training by masked language modelling: texts to blocks of tokens, masks, the head, and the run that joins them."""
