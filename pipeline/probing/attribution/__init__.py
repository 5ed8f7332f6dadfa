"""Attribution: which feed-forward neurons a text's representation rests on, by integrated gradients."""
