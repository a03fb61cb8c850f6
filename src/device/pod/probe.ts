/** How the health of an app is probed. */
export type ProbeAction =
  /** A GET of `path` at `port` of the pod's address. */
  | { readonly kind: 'http'; readonly port: number; readonly path: string }
  /** A connection to `port` of the pod's address. */
  | { readonly kind: 'tcp'; readonly port: number }
  /** A program that is run in the app. */
  | { readonly kind: 'exec'; readonly command: readonly string[] };

/** How often an app is probed, and how its outcomes are judged. */
export interface ProbeRules {
  /** Seconds from the end of one probe to the next. */
  readonly intervalSeconds: number;
  /** Seconds within which the app must answer. */
  readonly timeoutSeconds: number;
  /** The number of consecutive failures after which an app is failing. */
  readonly failures: number;
  /** The number of consecutive successes after which an app is passing. */
  readonly successes: number;
  /**
   * Seconds from the app's start in which failures do not count. After them, a failing app ends the
   * probation. Without them, it may recover until the end of the probation.
   */
  readonly startPeriodSeconds?: number;
}

/** The rules without annotations. */
export const usualRules: ProbeRules = {
  intervalSeconds: 10,
  timeoutSeconds: 5,
  failures: 3,
  successes: 1,
};

const maxWords = 64;
const maxCommandLength = 4096;

/** Reads `<port>[<path>]`, for example `8080/healthz`; undefined when it is not one. */
export function parseHttpProbe(text: string): ProbeAction | undefined {
  // A request has no fragment (RFC 9112, 3.2): a `#` would be sent, and refused or misread.
  const match = /^([0-9]{1,5})(\/[!"$-~]{0,255})?$/.exec(text);
  const port = parsePort(match?.[1] ?? '');
  return port === undefined ? undefined : { kind: 'http', port, path: match?.[2] ?? '/' };
}

/** Reads a port; undefined when it is not one. */
export function parseTcpProbe(text: string): ProbeAction | undefined {
  const port = parsePort(text);
  return port === undefined ? undefined : { kind: 'tcp', port };
}

/**
 * Reads a command as a JSON list of words, for example `["/bin/check", "-q"]`; undefined when it is
 * not one. The empty list switches the probe off.
 */
export function parseExecProbe(text: string): ProbeAction | undefined {
  if (text.length > maxCommandLength) return undefined;
  let words: unknown;
  try {
    words = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(words) || words.length > maxWords) return undefined;
  const command = words.filter((word) => typeof word === 'string' && !/[\0\p{Surrogate}]/u.test(word));
  const isCommand = command.length === words.length && command[0] !== '';
  return isCommand ? { kind: 'exec', command: command as readonly string[] } : undefined;
}

function parsePort(text: string): number | undefined {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}
