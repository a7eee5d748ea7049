/**
 * Return the address of a launch's page without its ticket, which starts one launch unasked: it is
 * not for addresses that are kept or passed on.
 */
export function withoutTicket(href: string): string {
  return href.replace(/([?&])ticket=[^&#]*(&?)/, (_, before: string, more: string) =>
    more ? before : "",
  );
}
