import sys
from pathlib import Path

# The invented results that several folders of tests share.
sys.path.insert(0, str(Path(__file__).parents[1]))
