"""Writes files as keras_cv_attention_models does, without Keras."""

import h5py


def write_keras_file(path, state_dict):
  """The layers and layouts of keras_cv_attention_models."""
  with h5py.File(path, "w") as file:
    for name, value in state_dict.items():
      layer, weight, value = keras_entry(name, value)
      file[f"model_weights/{layer}/{layer}/{weight}:0"] = value
  return path


def keras_entry(name, value):
  parts = name.split(".")
  if parts[0] == "downsample_layers":
    layer = "stem" if parts[1] == "0" else f"stack{int(parts[1]) + 1}"
    layer += "_ln" if value.ndim == 1 and (parts[2] == "1") == (parts[1] == "0") else "_conv"
  elif parts[0] in ("norm", "head"):
    layer = {"norm": "pre_output_ln", "head": "predictions"}[parts[0]]
  else:
    block = f"stack{int(parts[1]) + 1}_block{int(parts[2]) + 1}_"
    inner = ".".join(parts[3:-1]) or parts[3]
    if inner.startswith("gnconv.pws."):
      layer = f"{block}gnconv_pw{int(inner[-1]) + 1}_conv"
    else:
      layer = (
        block
        + {
          "norm1": "attn_ln",
          "norm2": "mlp_ln",
          "pwconv1": "mlp_Dense_0",
          "pwconv2": "mlp_Dense_1",
          "gamma1": "1_gamma",
          "gamma2": "2_gamma",
          "gnconv.proj_in": "gnconv_pre_conv",
          "gnconv.proj_out": "gnconv_output_conv",
          "gnconv.dwconv": "gnconv_list_dw_conv",
          "gnconv.dwconv.dw": "gnconv_gf_dw_conv",
          "gnconv.dwconv.pre_norm": "gnconv_gf_pre_ln",
          "gnconv.dwconv.post_norm": "gnconv_gf_post_ln",
        }[inner]
      )
  if name.endswith("complex_weight"):
    return f"{block}gnconv_gf_complex_dense", "complex_weight", value.transpose(3, 1, 2, 0)
  if name.endswith(("gamma1", "gamma2")):
    return layer, "weight", value
  if layer.endswith("_ln"):
    return layer, {"weight": "gamma", "bias": "beta"}[parts[-1]], value
  if parts[-1] == "bias":
    return layer, "bias", value
  if "dw_conv" in layer:
    return layer, "depthwise_kernel", value.transpose(2, 3, 0, 1)
  if value.ndim == 4:
    return layer, "kernel", value.transpose(2, 3, 1, 0)
  return layer, "kernel", value.T
