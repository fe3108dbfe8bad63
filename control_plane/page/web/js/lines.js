// Text that arrives piece by piece, cut at a separator.

/** Calls `each` with every complete piece; what remains at the end is dropped unless `keepLast`. */
export async function readPieces(body, separator, each, { keepLast = false } = {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split(separator);
    rest = pieces.pop();
    for (const piece of pieces) each(piece);
  }
  if (keepLast && rest) each(rest);
}
