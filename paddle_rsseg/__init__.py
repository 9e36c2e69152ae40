"""Remote-sensing segmentation on PaddlePaddle."""
