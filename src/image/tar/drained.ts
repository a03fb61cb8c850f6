/** What a stream of Node and one of streamx have in common. */
interface Drainable {
  once(event: string, listener: () => void): unknown;
  removeListener(event: string, listener: () => void): unknown;
}

/** Resolves when a stream accepts more, or never will. */
export function drained(stream: Drainable): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'end', 'error'];
    const done = () => {
      for (const event of events) stream.removeListener(event, done);
      resolve();
    };
    for (const event of events) stream.once(event, done);
  });
}
