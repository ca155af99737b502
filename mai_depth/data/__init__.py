"""From folders of picture and depth to training batches."""
