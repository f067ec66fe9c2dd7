"""How the suite has XLA compile: sooner, into programs that are slower.

Most of what a test costs is compiling. Without optimisation, by the emitters of LLVM's IR instead
of those of MLIR, and in one piece, a train step takes a quarter of the time to compile.
"""

QUICKLY = {
  "xla_backend_optimization_level": 0,
  "xla_cpu_use_fusion_emitters": False,
  "xla_cpu_parallel_codegen_split_count": 1,
}
QUICK_FLAGS = " ".join(f"--{name}={value}".lower() for name, value in QUICKLY.items())
