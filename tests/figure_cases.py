"""What a drawn figure holds."""


def words(figure):
    """Everything that is written in it and visible."""
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_visible())
    return [text.get_text() for text in texts]


def marks(axes, *shapes):
    """The marks of some shapes by the row that they are in."""
    lines = [line for line in axes.lines if line.get_marker() in shapes]
    return {round(float(line.get_ydata()[0])): line for line in lines}


def spans(axes):
    """The intervals along x by the row that they are in."""
    lines = [line for line in axes.lines if line.get_marker() == "None" and line.get_lw() == 2]
    return {round(float(line.get_ydata()[0])): tuple(line.get_xdata()) for line in lines}


def stays_on_the_page(figure):
    """No label leaves the figure."""
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    inside = min(drawn.x0, drawn.y0) > -1e-6
    return inside and drawn.x1 < width + 1e-6 and drawn.y1 < height + 1e-6
