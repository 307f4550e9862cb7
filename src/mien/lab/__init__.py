"""Training and evaluation: everything that needs Keras. The run-time never imports it."""
