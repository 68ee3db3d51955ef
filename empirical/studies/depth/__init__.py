"""what dialling each layer does at the output, against the predicted sum; over-smoothing"""
