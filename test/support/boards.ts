/** The boards that WHERRY_BOARDS names: every test runs on each of them. */
export const named = process.env['WHERRY_BOARDS']?.split(',').filter(Boolean);

/** Otherwise every test runs on the first board, and the others run only tests that need them. */
export const matrix: readonly string[] = ['native', 'virt-armv8', 'virt-armv7'];

/** Every board that a test may start. */
export const boards: readonly string[] = named ?? matrix;
