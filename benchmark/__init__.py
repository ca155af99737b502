"""Speed, accuracy and score of .tflite depth graphs: `python -m benchmark --graph=FILE.tflite`.

Runs with numpy, pillow, absl-py and ai-edge-litert alone. Only `benchmark.peers` needs Keras.
"""
