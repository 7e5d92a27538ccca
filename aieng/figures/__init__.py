"""Figures: arrays in, a plotly figure out. One module per topic; none of them computes anything the course teaches."""
