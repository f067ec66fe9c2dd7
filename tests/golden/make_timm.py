"""Makes the reference arrays of timm's models in this folder, with timm and PyTorch.

  pip install torch timm safetensors numpy
  python tests/golden/make_timm.py

Each model has a folder as on timm's hub, `timm_NAME/model.safetensors` and `config.json`, and
beside them `arrays.npz`: for every image size images, logits and the gradients of mean(logits^2).
`--full` makes published sizes instead, for a check by hand: large files that are not kept here.
"""

import argparse
import json
import pathlib

import numpy as np
import safetensors.torch
import timm
import torch
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

HERE = pathlib.Path(__file__).parent
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)

SMALL = {
  "convnext": (
    lambda size: ConvNeXt(num_classes=5, depths=(1, 1, 2, 1), dims=(4, 8, 16, 32)),
    {},
    ((64, 64), (96, 64)),
  ),
  "swin": (
    lambda size: SwinTransformer(
      img_size=size,
      num_classes=5,
      embed_dim=8,
      depths=(2, 2, 3),
      num_heads=(1, 2, 4),
      window_size=4,
    ),
    {},
    ((64, 64), (64, 128), (32, 32)),
  ),
  "vit": (
    lambda size: VisionTransformer(
      img_size=32,
      patch_size=8,
      num_classes=5,
      embed_dim=32,
      depth=2,
      num_heads=4,
      dynamic_img_size=True,
    ),
    {"num_heads": 4},
    ((32, 32), (48, 64)),
  ),
}
FULL = {
  name: (lambda size, name=name, sized=sized: timm.create_model(name, **sized(size)), {}, sizes)
  for name, sized, sizes in (
    ("convnext_tiny", lambda size: {}, ((224, 224), (256, 192))),
    ("swin_tiny_patch4_window7_224", lambda size: {"img_size": size}, ((224, 224), (448, 224))),
    ("deit_small_patch16_224", lambda size: {"dynamic_img_size": True}, ((224, 224), (192, 288))),
    ("vit_base_patch16_224", lambda size: {"dynamic_img_size": True}, ((224, 224), (192, 288))),
  )
}


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--full", action="store_true")
  parser.add_argument("--out", type=pathlib.Path, default=HERE)
  args = parser.parse_args()
  for name, (build, model_args, sizes) in (FULL if args.full else SMALL).items():
    torch.manual_seed(0)
    model = build(sizes[0])
    randomize(model)
    folder = args.out / (name if args.full else f"timm_{name}")
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(
      model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"}
    )
    config = {
      "architecture": name,
      "num_classes": model.num_classes,
      "model_args": model_args,
      "pretrained_cfg": {
        "input_size": [3, *sizes[0]],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "mean": MEAN,
        "std": STD,
      },
    }
    (folder / "config.json").write_text(f"{json.dumps(config, indent=2)}\n")
    arrays = {}
    for size in sizes:
      resized = build(size).eval()
      load(resized, model)
      arrays |= run(resized, size, all_gradients=size == sizes[0])
    np.savez_compressed(folder / "arrays.npz", **arrays)
    print(folder, {key: value.shape for key, value in arrays.items() if "grad/" not in key})


def randomize(model):
  """Gives every parameter, biases and scales too, a value that matters."""
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if name.endswith("gamma"):
        parameter.copy_(0.5 + 0.2 * torch.randn_like(parameter))
      elif parameter.ndim == 1 and name.endswith("weight"):
        parameter.add_(0.2 * torch.randn_like(parameter))
      elif parameter.ndim == 1 or "relative" in name or name.endswith(("pos_embed", "cls_token")):
        parameter.add_(0.3 * torch.randn_like(parameter))
      else:
        fan_in = parameter[0].numel()
        parameter.copy_(torch.randn_like(parameter) / fan_in**0.5)


def load(resized, model):
  """Copies the parameters; tables of biases for windows of another size are resized by timm."""
  state = model.state_dict()
  for name, module in resized.named_modules():
    key = f"{name}.relative_position_bias_table"
    if key in state and state[key].shape != module.relative_position_bias_table.shape:
      state[key] = timm.layers.resize_rel_pos_bias_table(
        state[key], module.window_size, module.relative_position_bias_table.shape
      )
  resized.load_state_dict(state)


def run(model, size, all_gradients):
  rng = np.random.default_rng(sum(size))
  images = torch.tensor(rng.standard_normal((2, 3, *size)).astype(np.float32), requires_grad=True)
  logits = model(images)
  (logits**2).mean().backward()
  at = f"{size[0]}x{size[1]}"
  arrays = {
    f"{at}/images": images.detach().numpy(),
    f"{at}/logits": logits.detach().numpy(),
    f"{at}/grad/images": images.grad.numpy(),
  }
  # Those of tables depend most on the size. That of one that timm resized is the resized one's.
  for name, parameter in model.named_parameters():
    if all_gradients or name.endswith(("pos_embed", "relative_position_bias_table")):
      arrays[f"{at}/grad/{name}"] = parameter.grad.numpy()
  return arrays


if __name__ == "__main__":
  main()
