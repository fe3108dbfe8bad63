// The last texts of one stream. What a node says again and again is one entry that counts.

const KEPT = 100;

export class Said {
  entries = []; // {node, text, truncated, at, times}, the newest last
  total = 0;
  skipped = 0;

  take({ lines, skipped }) {
    this.skipped += skipped;
    this.total += skipped + lines.length;
    for (const { text, node_id: node, timestamp: at, truncated = false } of lines) {
      const last = this.entries.findLast((entry) => entry.node === node);
      if (last?.text === text) Object.assign(last, { at, times: last.times + 1 });
      else this.entries.push({ node, text, truncated, at, times: 1 });
    }
    this.entries.splice(0, this.entries.length - KEPT);
  }
}
