-- Supports the foreign key from 01_write_side/110 and listing an order's notes.
CREATE INDEX CONCURRENTLY w_order_notes_order_id_idx ON w_order_notes (tenant_id, order_id);
