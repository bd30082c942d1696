-- Terms of what is opened are kept in little more than half the time: they were half of what a new loan cost.

-- Said to be no more than stable, as `convert_to` is, so that its expression stands in the statement that asks for it: it was called for each term.
alter function books.term_of(text) stable;
alter function books.terms_of(jsonb) stable;

-- As before. What is opened has a number that nobody had, and what is tagged anew has lost its terms before, so there is no conflict to look for,
-- which cost as much as the insert; two values of one row may share a term.
create or replace function books.keep_terms() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    delete from books.term t using (select o.tenant_id, (to_jsonb(o) ->> tg_argv[1])::bigint as no, books.terms_of(o.tags) as term from old_rows o) was
    where t.tenant_id = was.tenant_id and t.what = tg_argv[0]::"char" and t.term = was.term and t.no = was.no;
  end if;
  -- Tags are seldom nested, and what is not is asked without a call for each row.
  insert into books.term (tenant_id, what, term, no)
  select distinct r.tenant_id, tg_argv[0]::"char", t.term, r.no
  from (select n.tenant_id, n.tags, (to_jsonb(n) ->> tg_argv[1])::bigint as no from new_rows n where n.tags <> '{}' offset 0) r
  cross join lateral (
    select books.term_of('/' || e.key || '=' || jsonb_typeof(e.value) || ':' || (e.value #>> '{}')) as term from jsonb_each(r.tags) e
    where jsonb_typeof(e.value) in ('string', 'number', 'boolean')
    union all select books.terms_of(r.tags) where r.tags @? '$.* ? (@.type() == "object")') t
  order by 1, 2, 3, 4;
  return null;
end $$;
