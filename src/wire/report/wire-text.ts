/**
 * Text that leaves a device: the one place that gives it the form that the operator's decoder
 * (report-codec.ts) accepts.
 */

/** The most bytes of UTF-8 that the decoder accepts for a name and for a sentence. */
export const wireBytes = { name: 256, sentence: 2048 } as const;

const cut = '…';

/**
 * `text` without control characters and lone surrogates, in at most `maxBytes` bytes of UTF-8, cut
 * between characters. A line break and the space around it become one space; any other control
 * character becomes U+FFFD.
 */
export function wireText(text: string, maxBytes: number): string {
  // No character is shorter than a byte: anything behind this is cut off in any case.
  const clean = text
    .slice(0, maxBytes + 1)
    .replace(/\p{Surrogate}/gu, '\uFFFD')
    .replace(/\s*[\t\n\v\f\r\u0085]\s*/g, ' ')
    .replace(/\p{Cc}/gu, '\uFFFD');
  const isWhole = text.length <= maxBytes + 1;
  if (isWhole && Buffer.byteLength(clean) <= maxBytes) return clean;
  const roomBytes = maxBytes - Buffer.byteLength(cut);
  let usedBytes = 0;
  let kept = '';
  for (const character of clean) {
    usedBytes += Buffer.byteLength(character);
    if (usedBytes > roomBytes) break;
    kept += character;
  }
  return kept + cut;
}
