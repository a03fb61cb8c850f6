/** The account of an app, as in appc. */
export interface Account {
  readonly user: string;
  readonly group: string;
  readonly supplementaryGids: readonly number[];
  /** Whether the config has no group, so that it comes from the image's account files. */
  readonly isDefaultGroup: boolean;
}

/** The account files of an image, '' where it has none. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/**
 * The account that `User` of a config selects (image-spec, config.md): `user`, `uid`, `user:group`
 * and so on. Without a group, the group and the supplementary ones are taken from the image's own
 * /etc/passwd and /etc/group; appc requires a group.
 */
export function accountOf(text: string, files: AccountFiles): Account {
  const [name = '', group = ''] = text.split(':');
  const user = name === '' ? '0' : name;
  if (group !== '') return { user, group, supplementaryGids: [], isDefaultGroup: false };
  const found = linesOf(files.passwd, 3).find(([login, , uid]) => login === user || uid === user);
  const [login = user, , , gid = '0'] = found ?? [];
  const supplementaryGids = linesOf(files.group, 2)
    .filter(([, , , members = '']) => members.split(',').includes(login))
    .map(([, , id]) => Number(id))
    .filter((id) => id !== Number(gid));
  return { user, group: gid, supplementaryGids: [...new Set(supplementaryGids)], isDefaultGroup: true };
}

/**
 * The fields of lines whose group is a number that the kernel accepts: in passwd(5) field 3, in
 * group(5) field 2, counted from 0.
 */
function linesOf(file: string, groupField: number): readonly (readonly string[])[] {
  return file
    .split('\n')
    .map((line) => line.split(':'))
    .filter(
      (fields) => /^\d{1,10}$/.test(fields[groupField] ?? '') && Number(fields[groupField]) < 2 ** 32 - 1,
    );
}
