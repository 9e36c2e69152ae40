"""The mmsegmentation fork of CarnoZhao (system C)."""
