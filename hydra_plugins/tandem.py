"""Where Hydra looks for the sweeper: it takes plugins from this package alone."""

from pipeline.sweeping import grid


class GridSweeper(grid.GridSweeper):
    """Every combination of the axes, each in a run folder of its own; what is finished is not run again."""
