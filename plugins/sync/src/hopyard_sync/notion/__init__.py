"""Notion's pages and databases, read into the table `sync_notion_page`."""
