import { isRefusal, Refusal } from './refusal.ts';
import type { RefusalCode } from './codes.ts';

/**
 * What an error of the file system means (errno(3)): its code and its reason in words. Each error
 * has this one meaning everywhere. None of them is a bug in wherry, so none becomes `internal`.
 */
const reasons: Readonly<Record<string, readonly [code: RefusalCode, reason: string]>> = {
  ENOSPC: ['no-space', 'the disk is full'],
  EDQUOT: ['no-space', 'the disk quota of this user is used up'],
  EFBIG: ['no-space', 'the file would be larger than the file system or "ulimit -f" allows'],
  ENOENT: ['not-found', 'no such file or directory'],
  ENOTDIR: ['input-invalid', 'a part of the path is not a directory'],
  EISDIR: ['input-invalid', 'it is a directory; name a file'],
  EEXIST: ['input-invalid', 'it exists already'],
  ENOTEMPTY: ['input-invalid', 'the directory exists and is not empty'],
  ENAMETOOLONG: ['input-invalid', 'the name is too long for the file system'],
  ELOOP: ['input-invalid', 'symbolic links form a loop'],
  EACCES: ['input-invalid', 'this user may not do that there'],
  EPERM: ['input-invalid', 'this user may not do that there'],
  EROFS: ['disk-failed', 'the file system is mounted read-only'],
  EXDEV: ['input-invalid', 'it is on another file system'],
  EBUSY: ['input-invalid', 'it is in use'],
  ETXTBSY: ['input-invalid', 'the program is running'],
  ENXIO: ['input-invalid', 'it is a pipe, a socket or a device'],
  ENODEV: ['input-invalid', 'its device is missing'],
  ESTALE: ['input-invalid', 'its network file system lost it'],
  EIO: ['disk-failed', 'the disk reports an error'],
  EMFILE: ['input-invalid', 'too many files are open; raise "ulimit -n"'],
  ENFILE: ['input-invalid', 'too many files are open on this machine'],
};

type LocalError = NodeJS.ErrnoException & { readonly code: string; readonly dest?: string };

/**
 * The error of a file-system call that `error` is or was caused by. Errors of sockets carry none of
 * these system calls.
 */
export function localErrorOf(error: unknown): LocalError | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code, syscall } = at as NodeJS.ErrnoException;
    if (code !== undefined && syscall !== undefined && !networkCalls.has(syscall) && code in reasons) {
      return at as LocalError;
    }
  }
  return undefined;
}

const networkCalls: ReadonlySet<string> = new Set([
  'connect',
  'listen',
  'bind',
  'getaddrinfo',
  'spawn',
  'kill',
]);

/**
 * Converts an error of the file system to a refusal that names the file. Returns `error` unchanged
 * when it is another refusal or a bug.
 * @param path the name that the user knows, where the error has none or another one
 */
export function asLocalRefusal(error: unknown, path?: string): unknown {
  if (isRefusal(error) && error.code !== 'image-build-failed') return error;
  const local = localErrorOf(error);
  const [code, reason] = reasons[local?.code ?? ''] ?? [];
  const name = path ?? local?.path;
  if (local === undefined || code === undefined || name === undefined) return error;
  return new Refusal(code, `${name}: ${reason}`, { cause: error });
}

/**
 * The refusal for a file that the user named and that cannot be read, with the reason.
 * @param what the file in words
 */
export function unreadableFile(what: string, cause: unknown): Refusal {
  const [code, reason] = reasons[localErrorOf(cause)?.code ?? ''] ?? ['not-found'];
  return new Refusal(code, `${what} cannot be read${reason === undefined ? '' : `: ${reason}`}`, { cause });
}

/** What a failure says to a person, for a sentence that goes on. */
export function reasonOf(error: unknown): string {
  const shown = asLocalRefusal(error);
  return shown instanceof Error ? shown.message : String(shown);
}

/**
 * Decodes the content of a file that the user named; a refusal of it names the file.
 * @param what what it should be, in words
 * @throws Refusal `input-invalid`
 */
export function fromFile<T>(file: string, what: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (!isRefusal(cause)) throw cause;
    throw new Refusal('input-invalid', `${file} is not ${what}: ${cause.message}`, { cause });
  }
}

/**
 * The refusal for a failed system call on one of wherry's own files. The user named no path, so
 * every error that is not about space is `disk-failed`. Undefined when no system call failed, which
 * is a bug in wherry.
 *
 * @param what what could not be done
 */
export function diskRefusal(error: unknown, what: string): Refusal | undefined {
  if (!isSystemError(error)) return undefined;
  const [code, words] = reasons[error.code] ?? [];
  // Without the advice for a path that the user named.
  const reason = words?.split(';')[0];
  const name = error.dest ?? error.path;
  const path = name === undefined ? '' : `${name}: `;
  const isFull = code === 'no-space';
  const advice = isFull ? 'free blocks or inodes are needed' : 'check the disk and its mount';
  const message = `${what}: ${reason === undefined ? error.message : `${path}${reason}`}; ${advice}`;
  return new Refusal(isFull ? code : 'disk-failed', message, { cause: error });
}

function isSystemError(error: unknown): error is LocalError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error;
}
