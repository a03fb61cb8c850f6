/** The boards that WHERRY_BOARDS names: everything runs on each of them. */
export const named = process.env['WHERRY_BOARDS']?.split(',').filter(Boolean);

/** Otherwise everything runs on the first, and on the others what only they can show. */
export const matrix: readonly string[] = ['native', 'virt-armv8', 'virt-armv7'];

/** Every board that a test may start. */
export const boards: readonly string[] = named ?? matrix;
