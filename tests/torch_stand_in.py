"""For tests only: makes torchvision importable beside a CPU build of torch, where its compiled operators cannot load.

Defines the operators that it expects, with non-maximum suppression in plain PyTorch.
"""

import sys


def install() -> None:
    """Import torchvision, with the stand-in where its own operators do not load; raises ImportError without torch."""
    import torch

    try:
        import torchvision

        return
    except RuntimeError:
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]

    def nms(boxes, scores, threshold):
        left = scores.argsort(descending=True)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
        kept = []
        while left.numel():
            best, left = left[0], left[1:]
            kept.append(best)
            low, high = torch.maximum(boxes[best, :2], boxes[left, :2]), torch.minimum(boxes[best, 2:], boxes[left, 2:])
            shared = (high - low).clamp(min=0).prod(dim=1)
            left = left[shared / (area[best] + area[left] - shared) <= threshold]
        return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    install.library = library  # type: ignore[attr-defined]  # the operators live as long as this does
    import torchvision
    import torchvision.extension
    import torchvision.ops.boxes

    torchvision.extension._assert_has_ops = lambda: None
    torchvision.ops.boxes._assert_has_ops = lambda: None
    aligned = sys.modules["torchvision.ops.roi_align"]  # its own, in plain PyTorch, which it would compile first
    aligned._roi_align = aligned._roi_align.__wrapped__  # type: ignore[attr-defined]
