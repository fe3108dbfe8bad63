"""The server's part that node packs and the executor touch."""

import asyncio
import logging
import sys
from pathlib import Path

import folder_paths
from aiohttp import web
from comfy.cli_args import args


class PromptServer:
    instance = None

    def __init__(self, loop):
        PromptServer.instance = self
        Path(folder_paths.get_user_directory()).mkdir(parents=True, exist_ok=True)
        if args.front_end_root is None:
            logging.error("the frontend package is not installed")
            sys.exit(-1)
        self.loop = loop
        self.messages = asyncio.Queue()
        self.app = web.Application()
        self.routes = web.RouteTableDef()
        self.sockets = {}
        self.client_id = None
        self.last_node_id = None
        self.on_prompt_handlers = []

    def add_on_prompt_handler(self, handler):
        self.on_prompt_handlers.append(handler)

    def send_sync(self, event, data, sid=None):
        """Into a queue that only a served instance empties."""
        self.loop.call_soon_threadsafe(self.messages.put_nowait, (event, data, sid))

    def queue_updated(self):
        self.send_sync("status", {})

    def send_progress_text(self, text, node_id, sid=None):
        self.send_sync("progress_text", (text, node_id), sid)
