"""Shuai-Xie/SegHZ (system H). Its cross entropy is a mean over all pixels, ignored ones counting 0."""
