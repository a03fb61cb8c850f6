import { Refusal } from '../../core/refusal/index.ts';
import type { App } from './types.ts';

/** Numbers only: a name would be looked up on the host (a lesson from rkt). */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** What an image contains about its users and groups. */
export interface AccountFacts {
  /** The image's own account files as text; empty when it has none. */
  readonly passwd: string;
  readonly group: string;
  /** Owners of the files that `user` or `group` name by path. */
  readonly owners: ReadonlyMap<string, { readonly uid: number; readonly gid: number }>;
}

/** (uid_t) -1 means "no change" to the kernel, so it is excluded. */
const maxId = 0xfffffffe;

/**
 * The user and groups of an app (aci.md, `user` and `group`). A name is looked up in the image's
 * own passwd and group, and then read as a number. A path stands for the owner of that file. The
 * primary group of a passwd line has no effect: the manifest names the group.
 *
 * @param subject first words of the refusal, such as `app web:`
 * @throws Refusal `pod-user-unknown`
 */
export function resolveAccount(
  subject: string,
  app: Pick<App, 'user' | 'group' | 'supplementaryGids'>,
  image: AccountFacts,
): Account {
  const unknown = (what: string, name: string, why: string) =>
    new Refusal('pod-user-unknown', `${subject} ${what} ${JSON.stringify(name)} ${why}`);
  const resolve = (what: 'user' | 'group', name: string, file: string, owned: 'uid' | 'gid'): number => {
    if (name.startsWith('/')) {
      const owner = image.owners.get(name);
      if (owner === undefined) throw unknown(what, name, 'is not a file of the image');
      return owner[owned];
    }
    const found = lookUp(file, name) ?? (/^[0-9]{1,10}$/.test(name) ? Number(name) : byConvention(name));
    if (found === undefined)
      throw unknown(what, name, `is not in the image's ${what === 'user' ? 'passwd' : 'group'}`);
    if (found > maxId) throw unknown(what, name, 'is above 4294967294');
    return found;
  };
  return {
    uid: resolve('user', app.user, image.passwd, 'uid'),
    gid: resolve('group', app.group, image.group, 'gid'),
    additionalGids: app.supplementaryGids,
  };
}

/**
 * An image without a passwd file may still use "root", as in rkt
 * (docs/decisions/appc-differences.md, 34).
 */
function byConvention(name: string): number | undefined {
  return name === 'root' ? 0 : undefined;
}

/** The number in the third field of the first line for `name`, in passwd(5) and group(5) alike. */
function lookUp(file: string, name: string): number | undefined {
  for (const line of file.split('\n')) {
    const [entry, , id = ''] = line.split(':');
    if (entry === name && /^[0-9]{1,10}$/.test(id)) return Number(id);
  }
  return undefined;
}
