-- How much the attributes of a device hold, in bytes: a page of large devices is refused before
-- it is read. Of rows from before it is 0 until they are next written, which happens daily.
alter table inventory.devices add column bytes integer not null default 0;
