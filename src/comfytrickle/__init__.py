"""ComfyUI on live video over the trickle protocol: what the control plane and the workers share.

Nothing in this package imports torch, and nothing but ``comfytrickle.testsrc`` and the commands
that use it imports av or numpy: the control plane must stay light. ``comfytrickle.editor_nodes`` is
never imported here: it is copied into ComfyUI.
"""

__version__ = "0.1.0"
