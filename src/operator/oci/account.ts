/** Who an app runs as, in the words of appc. */
export interface Account {
  readonly user: string;
  readonly group: string;
  readonly supplementaryGids: readonly number[];
  /** Whether the config left the group out, so that the image's account files say it. */
  readonly isDefaultGroup: boolean;
}

/** The account files of an image, '' where it has none. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/**
 * The account that `User` of a config means (image-spec, config.md): `user`, `uid`, `user:group`
 * and so on. Where the group is left out, it and the supplementary ones are those of the image's
 * own /etc/passwd and /etc/group; appc wants a group in any case.
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
 * The fields of lines whose group is a number that a kernel takes: in passwd(5) field 3, in
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
