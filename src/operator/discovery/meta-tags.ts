import { Parser } from 'htmlparser2';
import { Refusal } from '../../core/refusal/index.ts';

export interface MetaTag {
  readonly name: string;
  readonly content: string;
}

/** More than any real page has; a page is not read beyond this. */
const maxTags = 256;

/**
 * The `<meta name content>` tags of a page whose names begin with `ac-discovery`, in order. Of a
 * page that is too large, only the beginning is read, where such tags are.
 *
 * @throws Refusal `download-failed` when the page breaks off
 */
export async function readMetaTags(
  page: AsyncIterable<unknown>,
  maxBytes: number,
): Promise<readonly MetaTag[]> {
  const tags: MetaTag[] = [];
  const parser = new Parser({
    onopentag: (element, { name = '', content = '' }) => {
      if (element === 'meta' && name.startsWith('ac-discovery') && tags.length < maxTags)
        tags.push({ name, content });
    },
  });
  const decoder = new TextDecoder();
  let leftBytes = maxBytes;
  try {
    for await (const chunk of page) {
      const bytes = (chunk as Buffer).subarray(0, leftBytes);
      parser.write(decoder.decode(bytes, { stream: true }));
      leftBytes -= bytes.length;
      if (leftBytes === 0 || tags.length === maxTags) break;
    }
  } catch (cause) {
    throw new Refusal(
      'download-failed',
      `the page broke off: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  parser.end();
  return tags;
}
