"""A node pack in the V3 interface."""

from comfy_api.latest import ComfyExtension, io


class ProbeGainV3(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeGainV3",
            category="probe",
            inputs=[
                io.Image.Input("image"),
                io.Float.Input("gain", default=0.5, min=0.0, max=1.0),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, gain):
        return io.NodeOutput(image * gain)


class ProbeExtension(ComfyExtension):
    async def get_node_list(self):
        return [ProbeGainV3]


async def comfy_entrypoint():
    return ProbeExtension()
