"""Which devices multiply bfloat16."""

import torch


def computes_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; CPUs that emulate it are 30 to 90 times slower than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
