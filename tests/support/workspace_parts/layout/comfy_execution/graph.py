from comfy_execution.graph_utils import ExecutionBlocker

__all__ = ["ExecutionBlocker"]
