"""JasmineRain/NAIC_AI-RS (system N). Its losses are means over all pixels; its data ignore none."""
